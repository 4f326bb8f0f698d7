// Runs the broker aedes on a port until it is killed: node aedes_broker.js PORT. NODE_PATH names the folder with the package.
'use strict';

const { Aedes } = require('aedes');

Aedes.createBroker({ concurrency: 1000 }).then((broker) => {
  require('node:net').createServer(broker.handle).listen(Number(process.argv[2]), '127.0.0.1');
});
