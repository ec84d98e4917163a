"""keymiss.search.questions from text that lives in Valkey: a GET that computes, and a reader."""
