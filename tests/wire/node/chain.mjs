// The parts of ottla_tests::chain.

import { createInterface } from 'node:readline'

import { kafka, subscribed, withAdmin, withProducer } from './main.mjs'

export async function fill(from, to, partitions, count) {
  const configEntries = [{ name: 'min.insync.replicas', value: '2' }]
  const topics = [from, to].map(topic => ({ topic, numPartitions: partitions, replicationFactor: 3, configEntries }))
  await withAdmin(admin => admin.createTopics({ topics }))
  const messages = Array.from({ length: count }, (_, n) => ({ value: `${n}`, partition: n % partitions }))
  await withProducer({ idempotent: true, maxInFlightRequests: 1 }, producer => producer.send({ topic: from, messages }))
}

// kafkajs tells the broker nothing of its generation, so that there may be one worker only; and what becomes of a commit
// that fails is known when a new producer of that id has begun, by what the group has then.
export async function transform(from, to, id) {
  const said = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
  const groupId = 'chain'
  const settings = { transactionalId: id, idempotent: true, maxInFlightRequests: 1 }
  let producer
  const begin = async () => {
    await producer?.disconnect()
    producer = kafka.producer(settings)
    await producer.connect()
  }
  await begin()
  const admin = kafka.admin()
  await admin.connect()
  const committed = async partition => {
    const [{ partitions }] = await admin.fetchOffsets({ groupId, topics: [from] })
    return BigInt(partitions.find(one => one.partition === partition).offset)
  }
  const once = async (partition, messages) => {
    const transaction = await producer.transaction()
    await transaction.send({ topic: to, messages: messages.map(({ key, value }) => ({ key, value, partition })) })
    const offset = `${BigInt(messages.at(-1).offset) + 1n}`
    await transaction.sendOffsets({ consumerGroupId: groupId, topics: [{ topic: from, partitions: [{ partition, offset }] }] })
    console.log('open')
    const commits = (await said.next()).value === 'commit'
    await (commits ? transaction.commit() : transaction.abort())
    return commits
  }
  const patiently = async work => {
    for (;;) {
      try {
        return await work()
      } catch (why) {
        console.log(why.message)
        await begin().catch(why => console.log(why.message))
      }
    }
  }
  const consumer = await subscribed(from, { groupId, sessionTimeout: 6000, heartbeatInterval: 500 })
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch, resolveOffset, heartbeat }) => {
      for (let at = 0; at < batch.messages.length; at += 10) {
        const messages = batch.messages.slice(at, at + 10)
        const is = async () => (await committed(batch.partition)) > BigInt(messages[0].offset)
        while (!(await patiently(is)) && !(await patiently(() => once(batch.partition, messages)))) {}
        resolveOffset(messages.at(-1).offset)
        await heartbeat()
      }
    },
  })
}

export async function read(topic) {
  const ends = await withAdmin(admin => admin.fetchTopicOffsets(topic))
  const left = new Map(ends.filter(({ high }) => high !== '0').map(({ partition, high }) => [partition, BigInt(high)]))
  const consumer = await subscribed(topic, { groupId: `reader-${process.pid}` })
  const at = (partition, next) => {
    if (left.has(partition) && next >= left.get(partition) && left.delete(partition) && left.size === 0) {
      console.log('end')
    }
  }
  consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) => at(payload.partition, BigInt(payload.lastOffset) + 1n))
  await consumer.run({ eachMessage: async ({ message }) => console.log(`${message.value}`) })
}

export async function committed(groupId, topic) {
  const [{ partitions }] = await withAdmin(admin => admin.fetchOffsets({ groupId, topics: [topic] }))
  console.log(partitions.reduce((sum, { offset }) => sum + Number(offset), 0))
}
