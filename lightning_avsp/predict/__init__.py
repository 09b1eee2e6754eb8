"""Any video in, saliency maps and overlays out."""
