"""The gateway: the one HTTPS service of the hub. WLCG tokens in; short HTCondor tokens, S3 access and offers out."""
