"""Reference trainers, one method per file: arrays in, policies out."""
