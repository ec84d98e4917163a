"""Who asks: a question, the sentences worth reading, the answers that stand in them."""
