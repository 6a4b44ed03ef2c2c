"""A bench for one question: why does training a recurrent network blow up, and what cures it?"""

__version__ = "0.1.0"
