"""Drawing by workers on a queue: shards are Celery tasks in Redis, what is drawn goes to the store.

The queue is only how shards reach workers. What has been drawn, by whom it is being drawn and what
went wrong stand in the store, so the queue may lose or repeat what it holds, and be away for a
while.
"""
