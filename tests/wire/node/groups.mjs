// Members come and leave while records are written; kafkajs commits what each has read before it gives a partition up.

import assert from 'node:assert/strict'
import kafkajs from 'kafkajs'

import { held, refused, subscribed, until, withAdmin, withProducer } from './main.mjs'

const PARTITIONS = 6
const TOPIC = 'js-group'
const GROUP = 'round-robin'

export async function groups() {
  await withAdmin(async admin => {
    await admin.createTopics({ topics: [{ topic: TOPIC, numPartitions: PARTITIONS, replicationFactor: 3 }] })
    const read = []
    const members = []
    const write = async count => {
      await withProducer({}, producer => {
        const from = write.written
        write.written += count
        const numbers = Array.from({ length: count }, (_, i) => from + i)
        return producer.send({ topic: TOPIC, messages: numbers.map(n => ({ value: `${n}`, partition: n % PARTITIONS })) })
      })
    }
    write.written = 0
    for (const size of [1, 2, 3, 2]) {
      if (size > members.length) {
        members.push(await join(read))
      } else {
        await members.shift().consumer.disconnect()
      }
      // Some are written while the group is at it.
      await write(120)
      const shares = () => `all have the same share: ${members.map(({ share }) => share)}`
      await until(shares, () => shared(members))
      await write(120)
      await until(() => `all is read by ${size}: ${read.length} of ${write.written}`, () => read.length >= write.written)
    }
    const described = (await admin.describeGroups([GROUP])).groups[0]
    assert.deepEqual([described.state, described.members.length, described.protocol], ['Stable', 2, 'RoundRobinAssigner'])
    await refused('NON_EMPTY_GROUP', admin.deleteGroups([GROUP]))
    for (const { consumer } of members) {
      await consumer.disconnect()
    }
    const all = () => Array.from({ length: write.written }, (_, n) => n)
    assert.deepEqual(read.toSorted((a, b) => a - b), all())
    held(`each of ${write.written} records is read once by 1, 2, 3, 2 members`)

    await write(60)
    const { consumer } = await join(read)
    await until(() => 'the next one goes on', () => read.length >= write.written)
    await consumer.disconnect()
    assert.deepEqual(read.toSorted((a, b) => a - b), all())
    held('who comes later goes on at the commit')

    await administered(admin, write.written)
  })
}

async function join(read) {
  const consumer = await subscribed(TOPIC, { groupId: GROUP, heartbeatInterval: 300 })
  const member = { consumer, share: [] }
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => (member.share = payload.memberAssignment[TOPIC] ?? []))
  await consumer.run({ eachMessage: async ({ message }) => read.push(Number(message.value)) })
  return member
}

const shared = members =>
  members.every(({ share }) => share.length === PARTITIONS / members.length) &&
  new Set(members.flatMap(({ share }) => share)).size === PARTITIONS

async function administered(admin, written) {
  assert.ok((await admin.listGroups()).groups.some(({ groupId }) => groupId === GROUP))
  const offsets = async () => (await admin.fetchOffsets({ groupId: GROUP, topics: [TOPIC] }))[0].partitions
  const sum = (await offsets()).reduce((sum, { offset }) => sum + Number(offset), 0)
  assert.equal(sum, written)
  await admin.setOffsets({ groupId: GROUP, topic: TOPIC, partitions: [{ partition: 0, offset: '7' }] })
  assert.equal((await offsets()).find(({ partition }) => partition === 0).offset, '7')
  await admin.resetOffsets({ groupId: GROUP, topic: TOPIC, earliest: true })
  assert.ok((await offsets()).every(({ offset }) => offset === '-2' || offset === '0'))
  await admin.deleteGroups([GROUP])
  await refused('GROUP_ID_NOT_FOUND', admin.deleteGroups([GROUP]))
  held('its offsets are listed and altered, and the group is deleted')
}
