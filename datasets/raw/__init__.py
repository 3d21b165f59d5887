"""Raw pairs: pictures and texts, before any features are made of them."""
