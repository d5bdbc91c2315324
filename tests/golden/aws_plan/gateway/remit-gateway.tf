# What Remit's gateway itself may do at AWS: attach it to its role or user, and nothing else.
# Written by `remit-server aws plan`.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

resource "aws_iam_policy" "remit_gateway" {
  name   = "remit-gateway"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect = "Allow"
        Action = [
          "sts:AssumeRole",
          "sts:TagSession",
          "sts:SetSourceIdentity",
        ]
        Resource = [
          "arn:aws-cn:iam::444455556666:role/1-remit",
          "arn:aws:iam::111122223333:role/agents/remit-reports",
          "arn:aws:iam::111122223333:role/remit-data",
        ]
      },
      {
        Effect = "Allow"
        Action = [
          "sts:AssumeRole",
          "sts:SetSourceIdentity",
        ]
        Resource = [
          "arn:aws-cn:iam::444455556666:role/remit-revoker",
          "arn:aws:iam::111122223333:role/remit-revoker",
        ]
      },
    ]
  })
}

output "policy_arn" {
  value = aws_iam_policy.remit_gateway.arn
}
