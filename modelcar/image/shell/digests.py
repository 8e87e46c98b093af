"""Digest and size of the default base image's layer, by architecture. Written by shell/build.py."""

LAYERS = {
    "amd64": ("sha256:296d950338f25f905f2f7e8b8a8929f6fc457137180a4327d1d683649592df8b", 30720),
    "arm64": ("sha256:805373ffbba9e0eaa716bcefc1ac5f0a597bbd44a1d6be42fbae7985e026ca62", 30720),
}
