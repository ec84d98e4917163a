"""The application: a question, the sentences worth reading, the answers that stand in them."""
