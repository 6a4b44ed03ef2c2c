"""The write-up's answers, a module for each topic; each answer runs its own checks."""
