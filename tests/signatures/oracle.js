// Twilio's SDK for Node as an oracle: one JSON case a line in, one verdict a line out.
'use strict';
const twilio = require('twilio');

/** Fields in the order they came, repeated names as arrays, as Express would give them. */
function parameters(fields) {
  const params = {};
  for (const [name, value] of fields) {
    if (!(name in params)) params[name] = value;
    else if (Array.isArray(params[name])) params[name].push(value);
    else params[name] = [params[name], value];
  }
  return params;
}

let input = '';
process.stdin.on('data', (chunk) => { input += chunk; });
process.stdin.on('end', () => {
  for (const line of input.split('\n')) {
    if (!line) continue;
    const test = JSON.parse(line);
    const params = parameters(test.fields);
    const accepts = test.body === null
      ? twilio.validateRequest(test.token, test.ours, test.presented, params)
      : twilio.validateRequestWithBody(test.token, test.ours, test.presented, test.body);
    const signature = twilio.getExpectedTwilioSignature(test.token, test.signed, params);
    process.stdout.write(`${JSON.stringify({ accepts, signature })}\n`);
  }
});
