"""The command line: one short file per command; the only place, beside the pipeline, that knows every layer."""
