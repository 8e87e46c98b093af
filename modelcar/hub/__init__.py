"""Models on the Hugging Face Hub: what is published, and which of it to take."""

from modelcar.hub.environment import check_variables

# Before any module in here imports huggingface_hub, which reads them then.
check_variables()
