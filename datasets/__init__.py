"""Dataset catalogue, readers and episodes: what data exists and how it becomes arrays."""
