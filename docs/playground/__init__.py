"""The playground's page: plain JavaScript, inlined by hw2exp.playground; one idea a file."""
