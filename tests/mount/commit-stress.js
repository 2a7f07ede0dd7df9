// commit-stress.js BOX COUNT: the part for Node.
const fs = require('fs');

const [box, count] = [process.argv[2], Number(process.argv[3])];

const ways = [
  (text) => fs.writeFileSync(box + '/cmd', text),
  (text) => fs.appendFileSync(box + '/cmd', text),
  (text) => {
    const fd = fs.openSync(box + '/cmd', 'w');
    for (const line of text.split(/(?<=\n)/)) fs.writeSync(fd, line);
    fs.closeSync(fd);
  },
  (text) => fs.promises.writeFile(box + '/cmd', text),
];

// To the end, as cat does: readFile stops at the size it saw first, and the command may still run then.
const byStream = async () => {
  let text = '';
  for await (const chunk of fs.createReadStream(box + '/stdout', 'utf8')) text += chunk;
  return text;
};
const byDescriptor = () => {
  const fd = fs.openSync(box + '/stdout');
  const buffer = Buffer.alloc(4096);
  let text = '';
  for (let n; (n = fs.readSync(fd, buffer)) > 0;) text += buffer.toString('utf8', 0, n);
  fs.closeSync(fd);
  return text;
};

(async () => {
  for (let n = 0; n < count; n++) {
    await ways[n % ways.length](`echo answer\necho ${n}\n`);
    const got = n % 2 ? byDescriptor() : await byStream();
    console.log(got === `answer\n${n}\n` ? 'right' : `node ${n}: ${JSON.stringify(got)}`);
  }
})();
