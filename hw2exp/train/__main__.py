"""Start the command ``python -m hw2exp.train``."""

from hw2exp.train import process

if __name__ == "__main__":
    process()
