"""Cases done: handed out, claimed, resumed, one after another or many at once."""
