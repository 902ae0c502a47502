// A collector of OTLP over HTTP that takes every export at once and keeps none, for tests/bench/watched.sh. `GET /taken`
// counts the exports by path.

import { createServer } from 'node:http';

const taken = {};
const server = createServer((request, response) => {
  if (request.method === 'GET') return response.end(JSON.stringify(taken));
  request.resume().on('end', () => {
    taken[request.url] = (taken[request.url] ?? 0) + 1;
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
  });
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
