"""mtjax: recover images, and what else they show, with classical solvers and with one shared encoder and many heads."""

__version__ = "0.1.0"
