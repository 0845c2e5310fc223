"""Who takes the next free slot: the policy, the decision that follows from it, and how HTCondor carries it out."""
