// Echoes `media` messages over wss with ws. Arguments: port, certificate chain, key.
'use strict';
const fs = require('fs');
const https = require('https');
const { WebSocketServer } = require('ws');

const [port, chain, key] = process.argv.slice(2);
const server = https.createServer({ cert: fs.readFileSync(chain), key: fs.readFileSync(key) });
const sockets = new WebSocketServer({ server, perMessageDeflate: false });
sockets.on('connection', (socket) => {
  socket._socket.setNoDelay(true);
  socket.on('message', (data) => {
    const message = JSON.parse(data);
    if (message.event !== 'media') return;
    const audio = Buffer.from(message.media.payload, 'base64');
    socket.send(JSON.stringify({
      event: 'media',
      streamSid: message.streamSid,
      media: { payload: audio.toString('base64') },
    }));
  });
});
server.listen(Number(port), '127.0.0.1');
