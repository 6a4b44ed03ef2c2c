"""The write-up's answers, a module for each of its topics; each answer runs its checks."""
