"""The build step, in a Job."""

from modelcar.components.build_in_job.component import build_in_job

__all__ = ["build_in_job"]
