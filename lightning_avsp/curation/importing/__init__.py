"""Import of videos with raw gaze into corpora of one's own, in the layout that every command reads."""
