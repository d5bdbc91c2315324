// Prints an object, and once more when the file that is named last is there: with the SDK's own chain of credentials.
const { createRequire } = require("node:module");
const { existsSync } = require("node:fs");

const [folder, Bucket, Key, file] = process.argv.slice(2);
const { S3Client, GetObjectCommand } = createRequire(`${folder}/`)("@aws-sdk/client-s3");
const s3 = new S3Client();
const read = async () => (await s3.send(new GetObjectCommand({ Bucket, Key }))).Body.transformToString();

async function main() {
  console.log(await read());
  while (file && !existsSync(file)) await new Promise((resolve) => setTimeout(resolve, 200));
  if (file) console.log("again", await read());
}

main().catch((error) => {
  console.error(`${error.name}: ${error.message}`);
  process.exit(4);
});
