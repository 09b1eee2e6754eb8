"""Video and audio encoders, each with its channels, strides and source of weights; built by name in ``registry``."""
