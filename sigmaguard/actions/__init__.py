"""Policy on actions: which tool may be called with which arguments, how often, and after what."""
