"""The durable-state slots: a room that the import contract already names and that holds no adapter yet."""
