"""The control plane: who may do what, under which policy, within which limits. The data plane reads it from memory."""
