# Sourced by the scripts beside it: uv asks the package index that the machine's pip is set to, by the machine's certificates.
index=$(.venv/bin/pip config get global.index-url 2>/dev/null || true)
export ${index:+UV_DEFAULT_INDEX="$index"} UV_NATIVE_TLS=1
