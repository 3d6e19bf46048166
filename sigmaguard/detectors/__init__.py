"""The detectors, one a file; `catalog` names them all."""
