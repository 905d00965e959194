"""Compiled kernels (numba). Nothing else imports a compiler; twins live in `common/`."""
