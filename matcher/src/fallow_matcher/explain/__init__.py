"""Why a job waits, or why it ran where and when it did.

`material` reads what is known of the job, the offers, the slots and the queue; `explanation` turns it into an answer
without any further look at the world.
"""
