"""What configs have in common: one file for adaptation, one for pretraining."""
