"""What the embedded broker still holds that somebody has to read: asked before it is ended, since it keeps nothing.

Only reading tells: Tansu's high watermark may trail by a batch. So every partition is read from where its slowest group
stands; a partition that no group has ever read is read from its start.
"""

from __future__ import annotations

import time

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

BEGINNING = 0


def unread(address: str, timeout: float = 2.0) -> dict[str, int]:
    """Messages that a consumer group, or nobody, has read, by topic; empty when everything is read.

    The count is a lower bound: one message is proof enough, so at most the first batch of a partition is counted.
    Raises KafkaException where the broker does not answer in `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    topics = admin.list_topics(timeout=timeout).topics
    positions = {(name, number): BEGINNING for name, known in topics.items() for number in known.partitions}
    seen: dict[tuple[str, int], int] = {}
    groups = admin.list_consumer_groups(request_timeout=timeout).result().valid
    for group in groups:
        request = [ConsumerGroupTopicPartitions(group.group_id)]
        answer = admin.list_consumer_group_offsets(request, request_timeout=timeout)[group.group_id].result()
        for partition in answer.topic_partitions or []:
            key = (str(partition.topic), partition.partition)
            if partition.offset >= 0 and key in positions:
                seen[key] = min(seen.get(key, partition.offset), partition.offset)
    positions |= seen
    return _read(address, positions, deadline)


def _read(address: str, positions: dict[tuple[str, int], int], deadline: float) -> dict[str, int]:
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "chctl.drain",  # never joined and never committed: partitions are assigned by hand
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,
            "fetch.queue.backoff.ms": 2,
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    counts: dict[str, int] = {}
    ended: set[tuple[str, int]] = set()
    try:
        consumer.assign([TopicPartition(topic, number, offset) for (topic, number), offset in positions.items()])
        while len(ended) < len(positions) and time.monotonic() < deadline:
            message = consumer.poll(0.05)
            if message is None:
                continue
            error, topic = message.error(), message.topic()
            assert topic is not None
            if error is None:
                counts[topic] = counts.get(topic, 0) + 1
            ended.add((topic, message.partition() or 0))
    finally:
        consumer.close()
    if len(ended) < len(positions) and not counts:
        raise KafkaException("the broker did not answer for every partition in time")
    return counts
