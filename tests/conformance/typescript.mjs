// Drive the official TypeScript SDK against the sandbox at SANDBOX_URL. Started by `python -m tests.conformance.typescript`.
import assert from 'node:assert/strict';
import LlamaCloud, { toFile } from '@llamaindex/llama-cloud';

const { SANDBOX_URL: baseURL, SANDBOX_KEY: apiKey } = process.env;
const client = new LlamaCloud({ apiKey, baseURL, maxRetries: 0 });
const { directories } = client.beta;
const parameters = { product_type: 'parse_v2', tier: 'cost_effective', version: 'latest' };

const advance = (seconds) =>
  fetch(`${baseURL}/sandbox/advance`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${apiKey}`, 'Content-Type': 'application/json' },
    body: JSON.stringify({ seconds }),
  });

const saved = await client.configurations.create({ name: 'TypeScript', parameters });
const directory = await directories.create({ name: 'typescript', type: 'ephemeral' });
for (const name of ['a.txt', 'b.txt']) {
  const upload_file = await toFile(Buffer.from('text'), name);
  const file = await directories.files.upload(directory.id, { upload_file, metadata: '{"n": 1}' });
  assert.deepEqual([file.display_name, file.metadata], [name, { n: 1 }]);
}
console.log('created a configuration and a directory, uploaded 2 files');

const config = { job: { type: 'parse_v2', configuration_id: saved.id } };
const create = () => client.batches.create({ source_directory_id: directory.id, config });
const [batch, cancelled] = [await create(), await create()];
await client.batches.cancel(cancelled.id);
await advance(3600);
assert.equal((await client.batches.get(cancelled.id)).status, 'CANCELLED');
await assert.rejects(client.batches.cancel(batch.id), LlamaCloud.ConflictError);
const listed = [];
for await (const each of client.batches.list({ page_size: 5 })) listed.push(each.id);
assert(listed.includes(batch.id) && new Set(listed).size === listed.length);
console.log(`created 2 batches, cancelled one, listed ${listed.length}`);

const { status, results } = await client.batches.get(batch.id, { expand: ['results'] });
assert.deepEqual([status, results.length], ['COMPLETED', 2]);
const ids = results.map((result) => result.job_reference.id);
const jobs = (await client.parsing.list({ job_ids: ids })).items;
assert.deepEqual(jobs.map((job) => job.status), ['COMPLETED', 'COMPLETED']);
const parsed = await client.parsing.get(ids[0], { expand: ['markdown', 'usage'] });
assert(parsed.markdown.pages.length > 0 && parsed.job.usage.credits > 0);
await client.parsing.delete(ids[0]);
await assert.rejects(client.parsing.get(ids[0]), LlamaCloud.NotFoundError);
console.log(`read 2 jobs and ${parsed.markdown.pages.length} pages, deleted a job`);

await directories.delete(directory.id);
await client.configurations.delete(saved.id);
const deleted = await directories.list({ name: 'typescript', include_deleted: true });
assert(deleted.items[0].deleted_at);
console.log('deleted the directory and the configuration');
