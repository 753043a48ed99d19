// Topics, their settings, writing in the codecs that kafkajs has, reading, offsets, transactions.

import assert from 'node:assert/strict'
import kafkajs from 'kafkajs'

import { held, refused, subscribed, until, withAdmin, withProducer } from './main.mjs'

const RECORDS = 300
const { CompressionTypes, ConfigResourceTypes } = kafkajs

export async function session() {
  await withAdmin(async admin => {
    await cluster(admin)
    await topics(admin)
    for (const codec of ['None', 'GZIP', 'Snappy']) {
      await written(admin, codec)
    }
    await offsets(admin)
    await acks(admin)
    await transactions(admin)
    await admin.deleteTopics({ topics: ['js'] })
    await refused('UNKNOWN_TOPIC_OR_PARTITION', admin.deleteTopics({ topics: ['no-such-topic'] }))
    held('a topic is deleted, one that is not there is refused')
  })
}

async function cluster(admin) {
  const { brokers, controller, clusterId } = await admin.describeCluster()
  assert.deepEqual(brokers.map(broker => broker.nodeId).sort(), [1, 2, 3])
  assert.ok([1, 2, 3].includes(controller) && clusterId)
  held('the cluster is described')
}

async function topics(admin) {
  const topic = { topic: 'js', numPartitions: 3, replicationFactor: 3, configEntries: [{ name: 'retention.ms', value: '3600000' }] }
  assert.equal(await admin.createTopics({ topics: [topic] }), true)
  assert.equal(await admin.createTopics({ topics: [topic] }), false)
  const refusedTopic = (name, topic) => refused(name, admin.createTopics({ topics: [{ numPartitions: 1, replicationFactor: 1, ...topic }] }))
  await refusedTopic('INVALID_REPLICATION_FACTOR', { topic: 'four', replicationFactor: 4 })
  await refusedTopic('INVALID_TOPIC_EXCEPTION', { topic: 'no/name' })
  await refusedTopic('INVALID_CONFIG', { topic: 'odd', configEntries: [{ name: 'no.such', value: 'x' }] })
  assert.ok((await admin.listTopics()).includes('js'))
  const metadata = await admin.fetchTopicMetadata({ topics: ['js'] })
  assert.equal(metadata.topics[0].partitions.length, 3)
  for (const { leader, replicas, isr } of metadata.topics[0].partitions) {
    assert.deepEqual([leader, replicas.length, isr.length], [replicas[0], 3, 3])
  }
  held('a topic is created once and described')

  const resource = { type: ConfigResourceTypes.TOPIC, name: 'js' }
  const entries = [{ name: 'max.message.bytes', value: '200000' }]
  await admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries: entries }] })
  const setting = async name => {
    const { resources } = await admin.describeConfigs({ includeSynonyms: false, resources: [resource] })
    return resources[0].configEntries.find(entry => entry.configName === name).configValue
  }
  await until(() => 'every broker has heard of the change', async () => (await setting('max.message.bytes')) === '200000')
  // What is altered as a whole has its other settings from the broker again.
  assert.equal(await setting('retention.ms'), '604800000')
  const wrong = [{ name: 'retention.ms', value: 'soon' }]
  await refused('INVALID_CONFIG', admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries: wrong }] }))
  held('its settings are altered and described')

  await admin.createPartitions({ topicPartitions: [{ topic: 'js', count: 5 }] })
  await refused('INVALID_PARTITIONS', admin.createPartitions({ topicPartitions: [{ topic: 'js', count: 4 }] }))
  held('the topic grows')
}

const value = n => `${n} ${'the same words again and again '.repeat(n % 20)}`

async function written(admin, codec) {
  const topic = `js-${codec}`
  await admin.createTopics({ topics: [{ topic, numPartitions: 3, replicationFactor: 3 }] })
  await withProducer({ idempotent: true, maxInFlightRequests: 1 }, async producer => {
    for (let from = 0; from < RECORDS; from += 100) {
      const messages = Array.from({ length: 100 }, (_, i) => from + i).map(n => ({
        key: `k${n}`,
        value: value(n),
        partition: n % 3,
        timestamp: `${1_700_000_000_000 + n}`,
        headers: { a: ['1', '2'] },
      }))
      await producer.send({ topic, acks: -1, compression: CompressionTypes[codec], messages })
    }
  })
  const next = [0, 1, 2]
  let read = 0
  const consumer = await subscribed(topic, { groupId: topic, maxBytesPerPartition: 4096 })
  await new Promise((resolve, reject) => {
    const eachMessage = async ({ partition, message }) => {
      const n = next[partition]
      next[partition] += 3
      const found = [message.key, message.value, ...message.headers.a].map(String)
      try {
        assert.deepEqual([...found, message.timestamp], [`k${n}`, value(n), '1', '2', `${1_700_000_000_000 + n}`])
      } catch (why) {
        reject(why)
      }
      if (++read === RECORDS) {
        resolve()
      }
    }
    consumer.run({ eachMessage }).catch(reject)
  })
  await consumer.disconnect()
  held(`${RECORDS} records come back in order, headers and all, codec ${codec}`)
}

async function offsets(admin) {
  const first = list => list.find(({ partition }) => partition === 0)
  const { offset, high, low } = first(await admin.fetchTopicOffsets('js-None'))
  assert.deepEqual([offset, high, low], ['100', '100', '0'])
  assert.equal(first(await admin.fetchTopicOffsetsByTimestamp('js-None', 1_700_000_000_150)).offset, '50')
  const consumer = await subscribed('js-None', { groupId: 'seeker' }, false)
  const found = new Promise((resolve, reject) => {
    const eachMessage = async ({ partition, message }) => {
      if (partition === 0) {
        resolve(message.offset)
      }
    }
    consumer.run({ eachMessage }).catch(reject)
  })
  consumer.seek({ topic: 'js-None', partition: 0, offset: '77' })
  assert.equal(await found, '77')
  await consumer.disconnect()
  held('offsets are found at the beginning, at the end and by time; a consumer seeks')

  await admin.deleteTopicRecords({ topic: 'js-None', partitions: [{ partition: 0, offset: '10' }] })
  assert.equal(first(await admin.fetchTopicOffsets('js-None')).low, '10')
  held('the first records are deleted')
}

async function acks(admin) {
  await withProducer({}, async producer => {
    for (const acks of [0, 1]) {
      const messages = Array.from({ length: 50 }, () => ({ value: 'v', partition: 0 }))
      await producer.send({ topic: 'js', acks, messages })
    }
    await refused('MESSAGE_TOO_LARGE', producer.send({ topic: 'js', messages: [{ value: 'x'.repeat(250_000), partition: 0 }] }))
  })
  await until(() => 'both are there', async () => (await admin.fetchTopicOffsets('js')).some(({ high }) => high === '100'))
  held('acks 0 and 1 are served, a record too large is refused')
}

async function transactions(admin) {
  const topic = 'js-tx'
  await admin.createTopics({ topics: [{ topic, numPartitions: 1, replicationFactor: 3 }] })
  const settings = { transactionalId: 'js-id', idempotent: true, maxInFlightRequests: 1, retry: { retries: 1 } }
  await withProducer(settings, async old => {
    const send = async (producer, value) => {
      const transaction = await producer.transaction()
      await transaction.send({ topic, messages: [{ value }] })
      return transaction
    }
    await (await send(old, 'committed')).commit()
    await (await send(old, 'aborted')).abort()
    const open = await send(old, 'open')
    assert.deepEqual(await values(topic, false, 1), ['committed'])
    assert.deepEqual(await values(topic, true, 3), ['committed', 'aborted', 'open'])
    await withProducer(settings, async young => {
      const transaction = await send(young, 'of the second')
      await assert.rejects(open.commit(), why => /PRODUCER_FENCED|INVALID_PRODUCER_EPOCH/.test(why.type ?? why.cause?.type))
      await transaction.commit()
    })
    assert.deepEqual(await values(topic, false, 2), ['committed', 'of the second'])
  })
  held('transactions commit, abort, and fence')
}

/** What such a consumer finds from the beginning until it has that many. */
async function values(topic, readUncommitted, count) {
  const consumer = await subscribed(topic, { groupId: `reader-${process.hrtime.bigint()}`, readUncommitted })
  const values = []
  await new Promise((resolve, reject) => {
    const eachMessage = async ({ message }) => {
      if (values.push(`${message.value}`) === count) {
        resolve()
      }
    }
    consumer.run({ eachMessage }).catch(reject)
  })
  await consumer.disconnect()
  return values
}
