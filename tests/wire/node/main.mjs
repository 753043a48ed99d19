// kafkajs against a server; ottla_tests::foreign says what the commands are.

import assert from 'node:assert/strict'
import kafkajs from 'kafkajs'
import snappy from 'kafkajs-snappy'

import { session } from './session.mjs'
import { groups } from './groups.mjs'
import { committed, fill, read, transform } from './chain.mjs'

kafkajs.CompressionCodecs[kafkajs.CompressionTypes.Snappy] = snappy

const [command, bootstrap, ...words] = process.argv.slice(2)

export const kafka = new kafkajs.Kafka({
  clientId: 'kafkajs',
  brokers: bootstrap.split(','),
  logLevel: kafkajs.logLevel.NOTHING,
})

export const held = what => console.log(`held: ${what}`)

/** It must fail with Kafka's error of that name. */
export async function refused(name, promise) {
  await assert.rejects(promise, why => {
    const names = [why.type, why.errors?.[0]?.type, why.cause?.type, why.groups?.[0]?.error?.type]
    assert.ok(names.includes(name), `expected ${name}, found ${why.stack}`)
    return true
  })
}

/** Asks again until it is so. */
export async function until(what, isSo) {
  for (const end = Date.now() + 60_000; !(await isSo()); ) {
    assert.ok(Date.now() < end, `not in time: ${what()}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}

/** A consumer that hears soon that it is to leave: kafkajs waits for every fetch. */
export async function subscribed(topic, settings, fromBeginning = true) {
  const consumer = kafka.consumer({ maxWaitTimeInMs: 100, ...settings })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning })
  return consumer
}

export async function withAdmin(work) {
  const admin = kafka.admin()
  await admin.connect()
  try {
    return await work(admin)
  } finally {
    await admin.disconnect()
  }
}

export async function withProducer(settings, work) {
  const producer = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner, ...settings })
  await producer.connect()
  try {
    return await work(producer)
  } finally {
    await producer.disconnect()
  }
}

switch (command) {
  case 'session':
    await session()
    await groups()
    break
  case 'fill':
    await fill(words[0], words[1], Number(words[2]), Number(words[3]))
    break
  case 'transform':
    await transform(words[0], words[1], words[2])
    break
  case 'read':
    await read(words[0])
    break
  case 'committed':
    await committed(words[0], words[1])
    break
  default:
    throw new Error(command)
}
