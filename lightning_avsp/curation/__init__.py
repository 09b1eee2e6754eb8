"""Own recordings made into corpora, and corpora checked for what training would stumble over."""
