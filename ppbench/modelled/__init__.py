"""What a measured job would cost on another device, or over another link."""
