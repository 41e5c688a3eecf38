//! What is done with episodes after they were recorded.
