"""Reproduce, check and reuse DisentangledSSL (ICLR 2025): shared and modality-specific representations."""

__version__ = "0.1.0"
