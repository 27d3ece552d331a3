from pkgutil import extend_path

# The messages lie where they were compiled; the modules may lie in the source tree.
__path__ = extend_path(__path__, __name__)
