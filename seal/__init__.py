"""When is it ready: the decision, the seal loop, the record and its verification."""
