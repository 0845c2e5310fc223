"""The fences in HTCondor's configuration of a pilot: who may speak with it, and what a payload and its starter may do."""

from __future__ import annotations

from fallow_pilots.node.layout import Layout
from fallow_pilots.spec import PilotSpec


def security(spec: PilotSpec, layout: Layout) -> dict[str, str]:
    """Tokens only, everything protected, and nobody but the hub has business here."""
    hub = f"condor@{spec.trust_domain}"
    required = {
        f"SEC_{level}_{fence}": "REQUIRED"
        for level in ("DEFAULT", "CLIENT", "READ")
        for fence in ("AUTHENTICATION", "ENCRYPTION", "INTEGRITY")
    }
    return {
        "TRUST_DOMAIN": spec.trust_domain,
        **required,
        "SEC_DEFAULT_AUTHENTICATION_METHODS": "IDTOKENS",
        "SEC_CLIENT_AUTHENTICATION_METHODS": "IDTOKENS",
        "SEC_READ_AUTHENTICATION_METHODS": "IDTOKENS",
        "SEC_DEFAULT_SESSION_DURATION": "600",
        "SEC_TOKEN_DIRECTORY": str(layout.tokens),
        "SEC_TOKEN_SYSTEM_DIRECTORY": str(layout.tokens),
        "SEC_PASSWORD_DIRECTORY": str(layout.passwords),
        "SEC_PASSWORD_FILE": "$(SEC_PASSWORD_DIRECTORY)/none",
        "SEC_TOKEN_POOL_SIGNING_KEY_FILE": "$(SEC_PASSWORD_DIRECTORY)/none",
        "SEC_ENABLE_REMOTE_ADMINISTRATION": "False",
        "SEC_ENABLE_TOKEN_FETCH": "False",
        "SEC_ENABLE_TOKEN_REQUEST": "False",
        "SEC_ENABLE_SCITOKEN_EXCHANGE": "False",
        "SEC_ENABLE_IMPERSONATION_TOKENS": "False",
        # Claims travel in sessions of their own, keyed by the match; nobody else has business here.
        # The hub, having proved that it holds the key which signed our token, is called condor@password on this side.
        "ALLOW_CLIENT": f"condor@password, {hub}, submit-side@matchsession",
        "ALLOW_READ": hub,
        "ALLOW_WRITE": hub,
        "ALLOW_DAEMON": hub,
        "ALLOW_NEGOTIATOR": hub,
        "ALLOW_ADMINISTRATOR": "",
        "ALLOW_CONFIG": "",
        "ALLOW_OWNER": "",
        "DENY_ADMINISTRATOR": "*",
        "DENY_CONFIG": "*",
        "DENY_OWNER": "*",
        "DENY_CLIENT": "*@unmapped",
        "DENY_READ": "*@unmapped",
        "DENY_WRITE": "*@unmapped",
        "DENY_DAEMON": "*@unmapped",
        "ENABLE_RUNTIME_CONFIG": "False",
        "ENABLE_PERSISTENT_CONFIG": "False",
    }


def isolation(layout: Layout) -> dict[str, str]:
    """Payloads start through our launcher in containers only; what the starter could do beside that is off."""
    return {
        "STARTER": str(layout.starter),
        "SINGULARITY": str(layout.launcher),
        "SINGULARITY_JOB": "True",
        "SINGULARITY_IMAGE_EXPR": "TARGET.ContainerImage",
        "SINGULARITY_BIND_EXPR": '""',
        # The slot's size and the further images reach our launcher this way, out of reach of the job's files.
        "SINGULARITY_EXTRA_ARGUMENTS": (
            'strcat("--fallow-memory ", MY.Memory, " --fallow-disk ", MY.Disk, " --fallow-cpus ", int(MY.Cpus), '
            '" --fallow-images ", size(TARGET.FallowImages ?: "") > 0 ? replaceAll(" ", TARGET.FallowImages, ",") : "none", '
            '" --fallow-source ", size(TARGET.FallowImageSource ?: "") > 0 ? '
            'replaceAll(" ", TARGET.FallowImageSource, ",") : "none")'
        ),
        "SINGULARITY_TARGET_DIR": "",
        "SINGULARITY_USE_PID_NAMESPACES": "True",
        "SINGULARITY_USE_LAUNCHER": "True",
        "SINGULARITY_RUN_TEST_BEFORE_JOB": "False",
        "SINGULARITY_ALLOWED_JOB_ENV_VARS": "",
        "MOUNT_UNDER_SCRATCH": "",
        "DOCKER": "",
        # Plugins run outside of the container and fetch whatever address the job names.
        "ENABLE_URL_TRANSFERS": "False",
        "FILETRANSFER_PLUGINS": "",
        "JAVA": "",
        "USE_PROCD": "True",
        "USE_PID_NAMESPACES": "False",
        "STARTER_ALLOW_JOB_PRE_AND_POST_CMD": "False",
        "STARTER_DISABLE_USER_SUPPLIED_TRANSFER_PLUGINS": "True",
        # The one hook is ours; the job cannot name another.
        "STARTER_JOB_HOOK_KEYWORD": "FALLOW",
        "FALLOW_HOOK_PREPARE_JOB": str(layout.hook),
        "STARTD_JOB_HOOK_KEYWORD": "",
        "STARTER_DEFAULT_JOB_HOOK_KEYWORD": "",
        "STARTER_JOB_ENVIRONMENT": "",
        "JOB_INHERITS_STARTER_ENVIRONMENT": "False",
        "USER_JOB_WRAPPER": "",
        "ENABLE_SSH_TO_JOB": "False",
        "ENABLE_CHIRP": "False",
        "ENABLE_CHIRP_IO": "False",
        "ENABLE_CHIRP_UPDATES": "False",
        "ENABLE_CHIRP_DELAYED": "False",
        "JOB_EXECDIR_PERMISSIONS": "user",
        "CREATE_CORE_FILES": "False",
    }
