"""Define regularizers, which are terms added to the loss: one file per term."""
