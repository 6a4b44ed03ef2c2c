"""Work out the write-up's answers, with a module for each topic; each answer runs its checks."""
