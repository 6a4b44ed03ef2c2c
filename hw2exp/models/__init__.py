"""Define recurrent models: the protocol, the cells, and the classifier around a cell."""
