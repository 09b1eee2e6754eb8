"""Video files as a source of clips: what is in one, and how its frames are reached."""
